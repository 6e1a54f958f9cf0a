import { registry } from "@web/core/registry";

/** Payment day: what is not reached, its list, and back. */
registry.category("web_tour.tours").add("g2p_bridge_home", {
    url: "/odoo/g2p-home",
    steps: () => [
        { trigger: ".o_g2p_home h1:contains(1 envelope out)" },
        { trigger: ".o_g2p_figure[data-figure=paid]:contains(2 payments)" },
        { trigger: ".o_g2p_figure[data-figure=not_reached]:contains(1 payment)", run: "click" },
        { trigger: ".o_list_view .o_data_cell:contains(Person 3)" },
        { trigger: ".o_back_button, .breadcrumb-item a:contains(Home)", run: "click" },
        { trigger: ".o_g2p_home .o_g2p_envelope:contains(TOUR-CYCLE) .o_g2p_plain", run: "click" },
        { trigger: ".o_form_view .o_g2p_sentence" },
        { trigger: ".o_form_view .o_g2p_money_tie:contains(the parts add up to it)" },
        { trigger: ".o_form_view .o_g2p_segment_paid[aria-label*='2 payments']", run: "click" },
        { trigger: ".o_list_view .o_data_cell:contains(Person 1)" },
        { trigger: ".o_list_view:not(:has(.o_data_cell:contains(Person 3)))" },
    ],
});
