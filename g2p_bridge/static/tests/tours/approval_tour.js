import { registry } from "@web/core/registry";

const approve = [
    {
        trigger: "button[name=action_approve]",
        run: "click",
    },
    {
        trigger: ".modal-footer .btn-primary",
        run: "click",
    },
];

/** An approver reads the review, is refused what changed since, looks again, and approves. */
registry.category("web_tour.tours").add("g2p_bridge_approval", {
    steps: () => [
        {
            trigger: ".o_g2p_review button:contains('Show what is released')",
            run: "click",
        },
        {
            trigger: ".o_g2p_review dd:contains('3 payments')",
        },
        ...approve,
        {
            content: "Somebody changed a payment past all code after the review was read",
            trigger: ".modal:contains('changed after it was shown to you') .modal-footer button",
            run: "click",
        },
        ...approve,
        {
            content: "The old review is no reason to approve the second time either",
            trigger: ".modal:contains('changed after it was shown to you') .modal-footer button",
            run: "click",
        },
        {
            trigger: ".o_g2p_review button:contains('Compare again')",
            run: "click",
        },
        {
            trigger: ".o_g2p_review button:not([disabled]):contains('Compare again')",
        },
        ...approve,
        {
            trigger: ".o_form_view:not(:has(button[name=action_approve]))",
        },
    ],
});
