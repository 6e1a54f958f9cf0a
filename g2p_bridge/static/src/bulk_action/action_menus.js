import { makeContext } from "@web/core/context";
import { patch } from "@web/core/utils/patch";
import { ActionMenus } from "@web/search/action_menus/action_menus";

/**
 * A bulk action gets what is selected as a domain. Odoo would look the ids up first, up to 20,000 of
 * them, and leave the rest out without a word.
 */
patch(ActionMenus.prototype, {
    async executeAction(action) {
        if (this.props.isDomainSelected && this.props.resModel.startsWith("g2p.")) {
            const definition = await this.actionService.loadAction(action.id, this.props.context);
            if (definition.res_model === "g2p.start.bulk.action") {
                const selection = {
                    active_model: this.props.resModel,
                    active_domain: this.props.domain,
                    g2p_all_selected: true,
                };
                return this.actionService.doAction(definition, {
                    additionalContext: makeContext([this.props.context, selection]),
                    onClose: this.props.onActionExecuted,
                });
            }
        }
        return super.executeAction(action);
    },
});
