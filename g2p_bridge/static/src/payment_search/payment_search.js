import { Component } from "@odoo/owl";
import { DefaultCommandItem } from "@web/core/commands/command_palette";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { user } from "@web/core/user";
import { useService } from "@web/core/utils/hooks";

/** What is typed behind it in Odoo's command palette (Ctrl+K) is looked for among the payments. */
const NAMESPACE = "$";
const HOTKEY = "alt+shift+f";
/** ms without a key before the server is asked */
const DELAY = 250;

const setup = {
    emptyMessage: _t("No payment, envelope or batch is called so"),
    placeholder: _t("Disbursement ID, MIS reference, beneficiary ID, bank reference"),
    name: _t("payments"),
    debounceDelay: DELAY,
};

class FoundItem extends Component {
    static template = "g2p_bridge.FoundItem";
    static props = { ...DefaultCommandItem.props, detail: { type: String } };
}

function open(action, hit) {
    const isOne = hit.id !== undefined;
    return action.doAction({
        type: "ir.actions.act_window",
        name: isOne ? undefined : hit.name,
        res_model: hit.model,
        res_id: isOne ? hit.id : undefined,
        domain: isOne ? undefined : [["id", "in", hit.ids]],
        views: isOne
            ? [[false, "form"]]
            : [
                  [false, "list"],
                  [false, "form"],
              ],
    });
}

async function provide(env, options) {
    const text = (options.searchValue || "").trim();
    if (text.length < 3) {
        return [];
    }
    const hits = await env.services.orm.silent.call("g2p.disbursement", "action_view_found", [
        text,
    ]);
    return hits.map((hit) => ({
        Component: FoundItem,
        // the palette closes when an action returns nothing
        action: async () => {
            await open(env.services.action, hit);
        },
        name: hit.name,
        props: { detail: hit.detail },
    }));
}

/** The box in the bar at the top: from anywhere to one payment. */
class PaymentSearch extends Component {
    static template = "g2p_bridge.PaymentSearch";
    static props = {};

    setup() {
        this.search = useService("g2p_payment_search");
        this.label = _t("Find a payment");
    }
}

const searchService = {
    dependencies: ["action", "command", "orm"],
    async start(env, { command }) {
        const openBox = () =>
            // a namespace of its own: in the default one Odoo drops what is not spelled like the text
            command.openPalette({
                searchValue: NAMESPACE,
                providers: [{ namespace: NAMESPACE, provide }],
                configByNamespace: { [NAMESPACE]: { ...setup, categories: ["default"] } },
            });
        if (await user.hasGroup("g2p_bridge.group_viewer")) {
            command.add(_t("Find a payment"), openBox, {
                hotkey: HOTKEY,
                hotkeyOptions: { bypassEditableProtection: true },
                global: true,
            });
            registry.category("command_setup").add(NAMESPACE, setup);
            registry.category("command_provider").add("g2p_bridge.payments", {
                namespace: NAMESPACE,
                provide,
            });
            registry
                .category("systray")
                .add("g2p_bridge.PaymentSearch", { Component: PaymentSearch }, { sequence: 60 });
        }
        return { openBox };
    },
};

registry.category("services").add("g2p_payment_search", searchService);
