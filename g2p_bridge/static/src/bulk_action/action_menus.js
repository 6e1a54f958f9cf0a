import { makeContext } from "@web/core/context";
import { patch } from "@web/core/utils/patch";
import { ActionMenus } from "@web/search/action_menus/action_menus";
import { MultiRecordViewButton } from "@web/views/view_button/multi_record_view_button";

/*
 * A bulk action gets what is selected as a domain. Odoo would look the ids up first, up to 20,000 of
 * them, and leave the rest out without a word.
 */

/** Start a bulk action on all that the domain selects; say whether the action was one. */
async function startOnDomain(actionService, action, { context, domain, onClose, resModel }) {
    if (!resModel.startsWith("g2p.")) {
        return false;
    }
    const definition = await actionService.loadAction(action, context);
    if (definition.res_model !== "g2p.start.bulk.action") {
        return false;
    }
    const selection = { active_model: resModel, active_domain: domain, g2p_all_selected: true };
    await actionService.doAction(definition, {
        additionalContext: makeContext([context, selection]),
        onClose,
    });
    return true;
}

patch(ActionMenus.prototype, {
    async executeAction(action) {
        const { context, domain, isDomainSelected, onActionExecuted, resModel } = this.props;
        const selection = { context, domain, resModel, onClose: onActionExecuted };
        if (!isDomainSelected || !(await startOnDomain(this.actionService, action.id, selection))) {
            return super.executeAction(action);
        }
    },
});

patch(MultiRecordViewButton.prototype, {
    async onClick(ev, newWindow) {
        const { clickParams, domain, list } = this.props;
        const selection = {
            context: list.context,
            domain,
            resModel: list.resModel,
            onClose: () => list.load(),
        };
        if (
            !list.isDomainSelected ||
            clickParams.type !== "action" ||
            !(await startOnDomain(this.env.services.action, clickParams.name, selection))
        ) {
            return super.onClick(ev, newWindow);
        }
    },
});
