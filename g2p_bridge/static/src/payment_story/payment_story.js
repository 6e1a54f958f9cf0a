import { Component } from "@odoo/owl";
import { CopyButton } from "@web/core/copy_button/copy_button";
import {
    deserializeDate,
    deserializeDateTime,
    formatDate,
    formatDateTime,
} from "@web/core/l10n/dates";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

/** The steps of a payment's life as a list, the newest last. */
export class PaymentStory extends Component {
    static template = "g2p_bridge.PaymentStory";
    static components = { CopyButton };
    static props = { ...standardFieldProps };

    setup() {
        this.action = useService("action");
        this.copied = _t("Copied");
        this.copy = _t("Copy answer for the caller");
    }

    get steps() {
        return this.props.record.data[this.props.name] || [];
    }

    get answer() {
        return this.props.record.data.caller_answer || "";
    }

    /** Return when it was: what is shown, what the machine reads, and the exact time. */
    when(step) {
        if (step.is_next) {
            return { shown: _t("Next"), exact: "" };
        }
        if (step.on) {
            const day = deserializeDate(step.on);
            const shown = day.toLocaleString(luxon.DateTime.DATE_MED);
            return { shown, exact: formatDate(day), machine: step.on };
        }
        const time = step.at || step.until;
        if (!time) {
            return { shown: "", exact: "" };
        }
        const moment = deserializeDateTime(time);
        const exact = formatDateTime(moment);
        const short = moment.toLocaleString({
            ...luxon.DateTime.DATE_MED,
            hour: "numeric",
            minute: "numeric",
        });
        const shown = step.at ? short : _t("by %s", short);
        return { shown, exact, machine: moment.toISO() };
    }

    open(link) {
        return this.action.doAction({
            type: "ir.actions.act_window",
            res_model: link.model,
            res_id: link.id,
            views: [[false, "form"]],
        });
    }
}

registry.category("fields").add("g2p_payment_story", {
    component: PaymentStory,
    supportedTypes: ["json"],
    fieldDependencies: [{ name: "caller_answer", type: "text" }],
});
