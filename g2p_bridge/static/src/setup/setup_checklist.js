import { Component, onWillStart, onWillUnmount, useState } from "@odoo/owl";
import { browser } from "@web/core/browser/browser";
import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { standardActionServiceProps } from "@web/webclient/actions/action_service";

/** How often it looks whether a step is done meanwhile: a job, a call, a colleague. */
const REFRESH_MS = 10000;

/**
 * The steps to the first payment: which are done, what is wrong with the others, and a button to
 * each. Home shows it while nothing is there.
 */
export class SetupChecklist extends Component {
    static template = "g2p_bridge.SetupChecklist";
    static props = {};

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.state = useState({ steps: [] });
        onWillStart(() => this.load());
        const timer = browser.setInterval(() => this.load(), REFRESH_MS);
        onWillUnmount(() => browser.clearInterval(timer));
    }

    async load() {
        this.state.steps = await this.orm.silent.call("g2p.setup.checklist", "get_steps", []);
    }

    get doneCount() {
        return this.state.steps.filter((step) => step.done).length;
    }

    get progress() {
        return _t("%(done)s of %(all)s done", {
            done: this.doneCount,
            all: this.state.steps.length,
        });
    }

    /** The first step that is not done is the obvious next one. */
    get nextKey() {
        const next = this.state.steps.find((step) => !step.done);
        return next && next.key;
    }

    open(step) {
        this.action.doAction(step.action);
    }
}

export class SetupChecklistAction extends Component {
    static template = "g2p_bridge.SetupChecklistAction";
    static components = { SetupChecklist };
    static props = { ...standardActionServiceProps };
}

registry.category("actions").add("g2p_bridge.setup_checklist", SetupChecklistAction);
