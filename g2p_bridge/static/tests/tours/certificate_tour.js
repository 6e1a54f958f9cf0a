import { registry } from "@web/core/registry";

/** From a settled envelope to its certificate, the files, and the proof of one payment. */
registry.category("web_tour.tours").add("g2p_bridge_certificate", {
    steps: () => [
        {
            trigger: "button[name=action_certificate].btn-primary",
            run: "click",
        },
        {
            trigger: ".alert-success:visible:contains('Every payment ended')",
        },
        {
            content: "The closed loop shows the numbers of the envelope",
            trigger: ".o_g2p_closed_loop:contains('300.00'):contains('200.00'):contains('100.00')",
        },
        {
            trigger: "button[name=action_issue]",
            run: "click",
        },
        {
            trigger: "button[name=action_download_pdf]:visible",
        },
        {
            content: "The paper is there to download",
            trigger: "button[name=action_download_pdf]",
            run() {
                const id = window.location.pathname.split("/").pop();
                return Promise.all(
                    ["pdf", "json", "register", "key"].map(async (what) => {
                        const answer = await fetch(`/g2p_bridge/certificate/${id}/${what}`);
                        const size = (await answer.arrayBuffer()).byteLength;
                        if (!answer.ok || size < 100) {
                            throw new Error(`${what}: ${answer.status}, ${size} bytes`);
                        }
                    })
                );
            },
        },
        {
            trigger: "button:contains('Prove one payment')",
            run: "click",
        },
        {
            trigger: ".modal .o_field_widget[name=disbursement_id] input",
            run: "edit no such payment",
        },
        {
            trigger: ".modal button[name=action_prove]",
            run: "click",
        },
        {
            trigger: ".modal:contains('No payment of this envelope')",
        },
    ],
});
