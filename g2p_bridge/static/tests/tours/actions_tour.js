import { rpc } from "@web/core/network/rpc";
import { registry } from "@web/core/registry";

const tours = registry.category("web_tour.tours");

/** What came back is paid again: from the envelope, in one dialog. */
tours.add("g2p_bridge_reissue", {
    url: "/odoo/g2p-envelopes",
    steps: () => [
        { trigger: ".o_data_cell:contains(TOUR-CYCLE)", run: "click" },
        { trigger: ".o_form_view button:contains(Reissue…)", run: "click" },
        { trigger: ".modal .o_field_widget[name=group_ids] .o_data_cell:contains(Account closed)" },
        { trigger: ".modal .alert:contains(This pays 1 payment, USD)" },
        { trigger: ".modal [name=reason] input", run: "edit account corrected" },
        { trigger: ".modal button[name=action_reissue]", run: "click" },
        { trigger: ".o_form_view button[name=action_view_reissued_from]", run: "click" },
        { trigger: ".o_form_view button[name=action_view_reissues]:contains(1)" },
    ],
});

/** All that is selected, not only what is on the page. */
tours.add("g2p_bridge_leave_out", {
    url: "/odoo/g2p-unresolved",
    steps: () => [
        { trigger: ".o_list_view .o_data_row" },
        { trigger: ".o_list_view thead .o_list_record_selector input", run: "click" },
        { trigger: ".o_selection_box .o_select_domain", run: "click" },
        { trigger: ".o_selection_box:contains(100)" },
        { trigger: ".o_cp_action_menus .dropdown-toggle", run: "click" },
        { trigger: ".o-dropdown--menu .o-dropdown-item:contains(Leave out…)", run: "click" },
        { trigger: ".modal .alert:contains(Payments that this leaves out: 100)" },
        { trigger: ".modal [name=reason] input", run: "edit moved away" },
        { trigger: ".modal button[name=action_start]:contains(Leave out)", run: "click" },
        { trigger: ".modal .o_g2p_live_progress .bg-success:contains(100%)" },
        { trigger: ".modal .o_field_widget[name=done_count]:contains(100)" },
        { trigger: ".modal footer button:contains(Close)", run: "click" },
        { trigger: "body:not(:has(.modal)) .o_view_nocontent:contains(Every beneficiary has an account)" },
    ],
});

/** Return an MT940 file with a debit of a payment that is with the bank, and a charge. */
let content = "";

async function statementFile() {
    if (content) {
        return new File([content], "nov.sta", { type: "text/plain" });
    }
    const [payment] = await rpc("/web/dataset/call_kw/g2p.disbursement/search_read", {
        model: "g2p.disbursement",
        method: "search_read",
        args: [[["state", "=", "sent"], ["envelope_id.cycle_code_mnemonic", "=", "TOUR-SENT"]]],
        kwargs: { fields: ["disbursement_id"], limit: 1 },
    });
    const lines = [
        ":20:TOUR",
        ":25:TOUR1",
        ":28C:1/1",
        ":60F:C261123USD1000,00",
        `:61:2611231123D100,00NTRF${payment.disbursement_id}//B1`,
        ":86:Monthly grant",
        ":61:2611231123D5,00NTRFCHARGE//B2",
        ":86:Bank charge",
        ":62F:C261123USD895,00",
        "-",
        "",
    ];
    content = lines.join("\n");
    return new File([content], "nov.sta", { type: "text/plain" });
}

async function dropFiles(...files) {
    const dataTransfer = new DataTransfer();
    for (const file of files) {
        dataTransfer.items.add(file);
    }
    const options = { dataTransfer, bubbles: true, cancelable: true };
    document.body.dispatchEvent(new DragEvent("dragenter", options));
    let zone = null;
    while (!(zone = document.querySelector(".o_g2p_statement_dropzone"))) {
        await new Promise((resolve) => requestAnimationFrame(resolve));
    }
    zone.dispatchEvent(new DragEvent("drop", options));
}

/** Two files are dropped: one is taken and matched, one is refused with what to do. */
tours.add("g2p_bridge_drop_statement", {
    url: "/odoo/g2p-statements",
    steps: () => [
        { trigger: ".o_g2p_upload_statements:contains(Upload statements)" },
        {
            trigger: ".o_list_view",
            run: async () => dropFiles(await statementFile(), new File(["no statement"], "letter.txt")),
        },
        { trigger: ".modal [role=status]:contains(1 files taken, 1 refused)" },
        { trigger: ".modal li:contains(nov.sta) .badge:contains(Taken)" },
        { trigger: ".modal li:contains(nov.sta) .badge:contains(Ties)" },
        { trigger: ".modal li:contains(nov.sta) button:contains(1 debits matched)" },
        { trigger: ".modal li:contains(nov.sta) button:contains(1 to look at)" },
        { trigger: ".modal li:contains(letter.txt) .badge:contains(Refused)" },
        { trigger: ".modal li:contains(letter.txt):contains(Check that it is the bank's MT940 file)" },
        { trigger: ".modal footer button:contains(Close)", run: "click" },
        // the same file again
        {
            trigger: "body:not(:has(.modal)) .o_list_view .o_data_row",
            run: async () => dropFiles(await statementFile()),
        },
        { trigger: ".modal li:contains(nov.sta) .badge:contains(Uploaded before)" },
        { trigger: ".modal li:contains(nov.sta) .o_g2p_upload_statement button:first", run: "click" },
        { trigger: ".o_form_view .o_g2p_statement_entries tbody tr:contains(Debit of a payment)" },
        { trigger: ".o_g2p_statement_entries button:contains(To look at)", run: "click" },
        {
            trigger:
                ".o_g2p_statement_entries tbody:not(:has(:contains(Debit of a payment))) tr:contains(CHARGE) button:contains(Dismiss…)",
            run: "click",
        },
        { trigger: ".modal [name=note] input", run: "edit bank charge" },
        { trigger: ".modal button[name=action_dismiss]", run: "click" },
        { trigger: ".o_g2p_statement_entries:contains(Nothing to look at)" },
    ],
});
