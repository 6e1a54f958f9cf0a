import { registry } from "@web/core/registry";

/** From the envelopes to one reversed payment, as an officer who asks why it came back. */
registry.category("web_tour.tours").add("g2p_bridge_reversed", {
    url: "/odoo/g2p-envelopes",
    steps: () => [
        { trigger: ".o_data_cell:contains(TOUR-CYCLE)", run: "click" },
        { trigger: ".o_form_view .o_statusbar_status:contains(Disbursed)" },
        { trigger: ".o_g2p_not_paid:contains(Account closed)" },
        { trigger: ".o_g2p_money_legend button:contains(Reversed: 1 payment)", run: "click" },
        { trigger: ".o_list_view .o_data_cell:contains(Person 3)", run: "click" },
        { trigger: ".o_form_view .alert:contains(AC04, account closed)" },
        { trigger: ".o_form_view .o_statusbar_status:contains(Reversed)" },
    ],
});
