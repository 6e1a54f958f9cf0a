import { registry } from "@web/core/registry";

/** From the worklist: what the bank refused is taken, looked at, and left to the program. */
registry.category("web_tour.tours").add("g2p_bridge_attention", {
    url: "/odoo/g2p-attention",
    steps: () => [
        { trigger: ".o_group_name:contains(Rejected by the bank)" },
        { trigger: ".o_data_row:contains(refused 2 payments: AC04, account closed):contains(200.00)" },
        {
            trigger: ".o_data_row:contains(refused 2 payments) .o_list_record_selector input",
            run: "click",
        },
        { trigger: ".o_control_panel button[name=action_take]", run: "click" },
        {
            trigger:
                ".o_data_row:contains(refused 2 payments) .o_field_widget[name=user_id]:has(img)",
        },
        { trigger: ".o_data_row:contains(refused 2 payments) .o_data_cell[name=name]", run: "click" },
        { trigger: ".o_list_view .o_data_row:contains(Person 2)" },
        { trigger: ".breadcrumb-item a:contains(Needs attention)", run: "click" },
        {
            trigger: ".o_data_row:contains(refused 2 payments) button[name=action_hand_back]",
            run: "click",
        },
        { trigger: ".modal .alert:contains(2):contains(No money moves)" },
        {
            trigger: ".modal .o_field_widget[name=note] input",
            run: "edit The program was called",
        },
        { trigger: ".modal footer button:visible:contains(Leave to the program)", run: "click" },
        { trigger: "body:not(:has(.modal))" },
        { trigger: ".o_view_nocontent_smiling_face:contains(Nothing needs you)" },
    ],
});

/** From anywhere, by the id on a caller's paper, to the payment's story. */
registry.category("web_tour.tours").add("g2p_bridge_find_payment", {
    url: "/odoo/g2p-envelopes",
    steps: () => [
        { trigger: ".o_data_cell:contains(TOUR-CYCLE)" }, // a screen that loads closes the box
        { trigger: ".o_g2p_payment_search", run: "click" },
        { trigger: ".o_command_palette input", run: "fill BEN3" },
        { trigger: ".o_command_palette .o_g2p_found:contains(Person 3)", run: "click" },
        { trigger: ".o_form_view .o_g2p_story_step:contains(Received)" },
        { trigger: ".o_g2p_story_next:contains(Next)" },
        { trigger: ".o_g2p_answer:contains(TOURPAYMENT3)" },
        { trigger: ".o_g2p_copy_answer" },
        { trigger: ".o_g2p_story_step button:contains(Envelope)", run: "click" },
        { trigger: ".o_form_view .o_statusbar_status:contains(Disbursed)" },
    ],
});
