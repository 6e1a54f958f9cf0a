import { Component, onMounted, onWillStart, onWillUnmount, useState } from "@odoo/owl";
import { _t } from "@web/core/l10n/translation";
import { ConnectionLostError } from "@web/core/network/rpc";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { Layout } from "@web/search/layout";
import { standardActionServiceProps } from "@web/webclient/actions/action_service";

import { MoneyBar, openPayments } from "../money_bar/money_bar";
import { SetupChecklist } from "../setup/setup_checklist";

/** How often the numbers are read again while somebody looks at them, in milliseconds. */
const REFRESH_MS = 15000;

export class Home extends Component {
    static template = "g2p_bridge.Home";
    static components = { Layout, MoneyBar, SetupChecklist };
    static props = { ...standardActionServiceProps };

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.state = useState({ data: null, isStale: false });
        this.display = { controlPanel: {} };
        this.env.config.setDisplayName(_t("Home"));
        let timer;
        onWillStart(() => this.load());
        onMounted(() => {
            timer = setInterval(() => this.refresh(), REFRESH_MS);
        });
        onWillUnmount(() => clearInterval(timer));
    }

    async load() {
        this.state.data = await this.orm.call("g2p.home", "get_home", []);
        this.state.isStale = false;
    }

    /** The new numbers take the place of the old ones; without a server the old ones stay. */
    async refresh() {
        if (document.hidden || this.isLoading) {
            return;
        }
        this.isLoading = true;
        try {
            this.state.data = await this.orm.silent.call("g2p.home", "get_home", []);
            this.state.isStale = false;
        } catch (error) {
            if (!(error instanceof ConnectionLostError)) {
                throw error;
            }
            this.state.isStale = true;
        } finally {
            this.isLoading = false;
        }
    }

    open(action, options = {}) {
        return this.action.doAction(action, options);
    }

    /** What opens as a dialog changes the numbers when it closes. */
    openButton(action) {
        return this.action.doAction(action, { onClose: () => this.load() });
    }

    openSegment(envelope, segment) {
        return openPayments(
            this.orm,
            this.action,
            "g2p.disbursement.envelope",
            envelope.id,
            segment
        );
    }

    partStyle(chart, part) {
        return `height: ${(100 * part.amount) / (chart.max || 1)}%`;
    }
}

registry.category("actions").add("g2p_bridge.home", Home);
