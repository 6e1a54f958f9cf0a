import { Pager } from "@web/core/pager/pager";
import { registry } from "@web/core/registry";
import { user } from "@web/core/user";
import { KeepLast } from "@web/core/utils/concurrency";
import { useService } from "@web/core/utils/hooks";
import { deserializeDate, formatDate } from "@web/core/l10n/dates";
import { formatInteger, formatMonetary } from "@web/views/fields/formatters";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";

import { Component, onWillStart, onWillUpdateProps, useState } from "@odoo/owl";

const MODEL = "g2p.account.statement.line";
const LIMIT = 40;
const SPECIFICATION = {
    entry_sequence: {},
    value_date: {},
    mark: {},
    amount: {},
    currency_id: {},
    customer_reference: {},
    outcome: {},
    error_reason: {},
    is_handled: {},
    matched_disbursement_id: { fields: { display_name: {} } },
};
const DOMAINS = {
    all: [],
    worklist: [
        ["outcome", "=", "error"],
        ["is_handled", "=", false],
    ],
    matched: [["outcome", "in", ["reconciled", "reversed"]]],
};

/** Entries of a statement with their match: a page at a time, however many there are. */
export class StatementEntries extends Component {
    static template = "g2p_bridge.StatementEntries";
    static components = { Pager };
    static props = { ...standardWidgetProps };

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.fieldService = useService("field");
        this.keepLast = new KeepLast();
        this.limit = LIMIT;
        this.state = useState({ shown: "all", offset: 0, total: 0, entries: [] });
        onWillStart(async () => {
            [this.labels, this.isOfficer] = await Promise.all([
                this.loadLabels(),
                user.hasGroup("g2p_bridge.group_officer"),
            ]);
            await this.load(this.props.record.resId);
        });
        onWillUpdateProps((props) => this.load(props.record.resId));
    }

    async loadLabels() {
        const fieldNames = ["mark", "outcome", "error_reason"];
        const fields = await this.fieldService.loadFields(MODEL, { fieldNames });
        return Object.fromEntries(
            fieldNames.map((name) => [name, Object.fromEntries(fields[name].selection)])
        );
    }

    async load(statementId = this.props.record.resId) {
        if (statementId !== this.statementId) {
            this.statementId = statementId;
            Object.assign(this.state, { shown: "all", offset: 0 });
        }
        const domain = [["statement_id", "=", statementId], ...DOMAINS[this.state.shown]];
        const { length, records } = await this.keepLast.add(
            this.orm.webSearchRead(MODEL, domain, {
                specification: SPECIFICATION,
                offset: this.state.offset,
                limit: LIMIT,
                order: "entry_sequence",
            })
        );
        Object.assign(this.state, { total: length, entries: records });
    }

    show(shown) {
        Object.assign(this.state, { shown, offset: 0 });
        return this.load();
    }

    onUpdatePager({ offset }) {
        this.state.offset = offset;
        return this.load();
    }

    money(entry) {
        return formatMonetary(entry.amount, { currencyId: entry.currency_id });
    }

    number(value) {
        return formatInteger(value);
    }

    date(value) {
        return value ? formatDate(deserializeDate(value)) : "";
    }

    badge(entry) {
        if (entry.outcome === "error" && entry.is_handled) {
            return "text-bg-secondary";
        }
        return {
            pending: "text-bg-info",
            reconciled: "text-bg-success",
            reversed: "text-bg-warning",
            error: "text-bg-danger",
            noted: "text-bg-light",
        }[entry.outcome];
    }

    isOpen(entry) {
        return this.isOfficer && entry.outcome === "error" && !entry.is_handled;
    }

    open(model, id) {
        return this.action.doAction({
            type: "ir.actions.act_window",
            res_model: model,
            res_id: id,
            views: [[false, "form"]],
        });
    }

    match(entry) {
        return this.action.doAction("g2p_bridge.g2p_match_entry_action", {
            additionalContext: { default_line_id: entry.id },
            onClose: () => this.reload(),
        });
    }

    dismiss(entry) {
        return this.action.doAction("g2p_bridge.g2p_dismiss_entry_action", {
            additionalContext: { active_model: MODEL, active_ids: [entry.id] },
            onClose: () => this.reload(),
        });
    }

    async reload() {
        await this.props.record.load();
        await this.load();
    }
}

registry.category("view_widgets").add("g2p_statement_entries", { component: StatementEntries });
