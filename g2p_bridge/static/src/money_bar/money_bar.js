import { Component } from "@odoo/owl";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardFieldProps } from "@web/views/fields/standard_field_props";

/**
 * One bar for all payments of a record: a segment for each part, as wide as its money.
 *
 * `data` is what the server's `_prepare_money_bar` returns; all words come from there.
 */
export class MoneyBar extends Component {
    static template = "g2p_bridge.MoneyBar";
    static props = {
        data: { type: Object },
        openSegment: { type: Function },
        /** with the parts in words and the line that says whether they tie */
        legend: { type: Boolean, optional: true },
    };
    static defaultProps = { legend: false };

    widthOf(segment) {
        return `width: ${(100 * segment.amount) / (this.props.data.total || 1)}%`;
    }
}

/** The action that shows exactly the payments of a segment. */
export async function openPayments(orm, action, resModel, resId, segment) {
    action.doAction(
        await orm.call(resModel, "action_view_disbursements", [[resId]], {
            context: { disbursement_state: segment.states.join(",") },
        })
    );
}

export class MoneyBarField extends Component {
    static template = "g2p_bridge.MoneyBarField";
    static components = { MoneyBar };
    static props = { ...standardFieldProps, legend: { type: Boolean, optional: true } };

    setup() {
        this.action = useService("action");
        this.orm = useService("orm");
    }

    get data() {
        return this.props.record.data[this.props.name];
    }

    openSegment(segment) {
        const { resModel, resId } = this.props.record;
        return openPayments(this.orm, this.action, resModel, resId, segment);
    }
}

registry.category("fields").add("g2p_money_bar", {
    component: MoneyBarField,
    supportedTypes: ["json"],
    extractProps: ({ options }) => ({ legend: Boolean(options.legend) }),
});
