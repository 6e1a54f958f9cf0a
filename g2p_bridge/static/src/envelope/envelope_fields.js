import { Component, useState, onWillUnmount, onMounted } from "@odoo/owl";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { FormController } from "@web/views/form/form_controller";
import { formView } from "@web/views/form/form_view";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";

/** How often a record that still moves is read again, in milliseconds. */
const REFRESH_MS = 15000;
const ENDED = ["settled", "cancelled"];

/** The one sentence, coloured by how it is to be read. */
export class SentenceField extends Component {
    static template = "g2p_bridge.SentenceField";
    static props = standardFieldProps;

    get level() {
        return this.props.record.data.sentence_level || "secondary";
    }
}

registry.category("fields").add("g2p_sentence", {
    component: SentenceField,
    supportedTypes: ["char"],
    fieldDependencies: [{ name: "sentence_level", type: "char" }],
});

/** Each step of an envelope with its time and duration. */
export class TimelineField extends Component {
    static template = "g2p_bridge.TimelineField";
    static props = standardFieldProps;

    get steps() {
        return this.props.record.data[this.props.name] || [];
    }
}

registry.category("fields").add("g2p_timeline", {
    component: TimelineField,
    supportedTypes: ["json"],
});

/** What is not paid, by reason, each with the buttons that may help. */
export class NotPaidField extends Component {
    static template = "g2p_bridge.NotPaidField";
    static props = standardFieldProps;

    setup() {
        this.action = useService("action");
    }

    get groups() {
        return this.props.record.data[this.props.name] || [];
    }

    run(group, method) {
        const { record } = this.props;
        return this.action.doActionButton({
            type: "object",
            name: method,
            resModel: record.resModel,
            resId: record.resId,
            resIds: [record.resId],
            context: {
                ...record.context,
                disbursement_state: group.state,
                ...(group.has_reason ? { disbursement_reason: group.reason_code } : {}),
            },
            onClose: () => record.load(),
        });
    }
}

registry.category("fields").add("g2p_not_paid", {
    component: NotPaidField,
    supportedTypes: ["json"],
});

/** The review that was shown last, by envelope, until its form is left. */
const shownReviews = new Map();

/**
 * What an approval would release, and how it compares: read when asked for.
 *
 * It is shown as long as the form says the same; an approval is refused if it is not what was shown.
 */
export class ApprovalReview extends Component {
    static template = "g2p_bridge.ApprovalReview";
    static props = standardWidgetProps;

    setup() {
        this.orm = useService("orm");
        this.state = useState({ review: null, isReading: false });
    }

    async read() {
        this.state.isReading = true;
        const { record } = this.props;
        try {
            const review = await this.orm.call(record.resModel, "review_for_approval", [
                [record.resId],
            ]);
            if (review.mark !== record.data.approval_mark) {
                await record.load();
            }
            this.state.review = review;
            shownReviews.set(record.resId, review);
        } finally {
            this.state.isReading = false;
        }
    }

    get review() {
        const { review } = this.state;
        return review?.mark === this.props.record.data.approval_mark ? review : null;
    }
}

registry.category("view_widgets").add("g2p_approval_review", { component: ApprovalReview });

/** Reads the record again while it still moves and somebody looks at it. */
export class LiveRecord extends Component {
    static template = "g2p_bridge.LiveRecord";
    static props = standardWidgetProps;

    setup() {
        let timer;
        onMounted(() => {
            timer = setInterval(() => this.refresh(), REFRESH_MS);
        });
        onWillUnmount(() => clearInterval(timer));
    }

    async refresh() {
        const { record } = this.props;
        const isAtRest = ENDED.includes(record.data.state) || document.hidden;
        if (isAtRest || document.querySelector(".modal.show") || (await record.isDirty())) {
            return;
        }
        await record.load();
    }

    get title() {
        return _t("Shown as it is now; read again every few seconds");
    }
}

registry.category("view_widgets").add("g2p_live", { component: LiveRecord });

/** Sends along what an approver was shown, and shows what there is now if that was refused. */
export class EnvelopeFormController extends FormController {
    setup() {
        super.setup();
        onWillUnmount(() => shownReviews.clear());
    }

    async beforeExecuteActionButton(clickParams) {
        if (clickParams.name === "action_approve") {
            const { data, resId } = this.model.root;
            const review = shownReviews.get(resId);
            const isShown = review?.mark === data.approval_mark;
            clickParams.buttonContext = isShown
                ? { g2p_shown_hash: review.released.content_hash }
                : {};
        }
        return super.beforeExecuteActionButton(clickParams);
    }

    async afterExecuteActionButton(clickParams) {
        if (clickParams.name === "action_approve") {
            await this.model.root.load();
        }
        return super.afterExecuteActionButton(clickParams);
    }
}

registry
    .category("views")
    .add("g2p_envelope_form", { ...formView, Controller: EnvelopeFormController });
