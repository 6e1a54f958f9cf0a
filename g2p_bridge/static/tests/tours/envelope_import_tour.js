import { registry } from "@web/core/registry";

const HEADER = "Reference,Beneficiary ID,Beneficiary name,Amount,Description";
const BAD = [HEADER, "R1,BEN1,Ann Lee,100.00,Grant", "R2,BEN2,,50.00,Grant", "R3,BEN3,Bob Ray,-5,Grant"];
const MENDED = [HEADER, "R1,BEN1,Ann Lee,100.00,Grant", "R2,BEN2,Cy Day,50.00,Grant", "R3,BEN3,Bob Ray,5,Grant"];

/** Drop a file on the page, as a person does. */
function drop(lines, name) {
    return {
        trigger: "[name=file] .o_g2p_drop",
        run() {
            const files = new DataTransfer();
            files.items.add(new File([lines.join("\n")], name, { type: "text/csv" }));
            this.anchor.dispatchEvent(
                new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
            );
        },
    };
}

/** An officer uploads a file with two bad rows, mends it, and opens the envelope. */
registry.category("web_tour.tours").add("g2p_envelope_import", {
    url: "/odoo/g2p-import-envelope",
    steps: () => [
        { trigger: "[name=program_id] input", run: "edit Tour program" },
        { trigger: ".dropdown-item:contains(Tour program)", run: "click" },
        { trigger: "[name=cycle_code_mnemonic] input", run: "edit 2026-11" },
        { trigger: "[name=currency_id]:contains(USD)" },
        drop(BAD, "bad.csv"),
        { trigger: ".o_g2p_chosen_file:contains(bad.csv)" },
        { trigger: "[name=declared_count] input", run: "edit 3" },
        { trigger: "[name=declared_amount] input", run: "edit 155" },
        { trigger: "button[name=action_look]", run: "click" },
        { trigger: "[name=column_ids] .o_data_row:contains(Beneficiary name):contains(Ann Lee)" },
        { trigger: "[name=preview] td:contains(USD 100.00)" },
        { trigger: "[name=preview] tr:contains(Beneficiary name is empty)" },
        { trigger: "button[name=action_check]", run: "click" },
        { trigger: "[name=review] tr:contains(Beneficiary name is empty) td:contains(3)" },
        { trigger: "[name=review] tr:contains(Amount is negative) td:contains(4)" },
        { trigger: ".alert:contains(Mend the bad rows)" },
        { trigger: "button.btn-primary[name=action_download_bad_rows]" },
        { trigger: "button[name=action_other_file]", run: "click" },
        drop(MENDED, "mended.csv"),
        { trigger: ".o_g2p_chosen_file:contains(mended.csv)" },
        { trigger: "button[name=action_look]", run: "click" },
        { trigger: "button[name=action_check]", run: "click" },
        { trigger: ".alert:contains(3 payments, USD 155.00)" },
        { trigger: "button[name=action_import]", run: "click" },
        { trigger: "button[name=action_view_envelope]", run: "click" },
        { trigger: ".o_form_view .o_statusbar_status:contains(Ready)" },
        { trigger: ".o_form_view:contains(2026-11)" },
    ],
});
