import { browser } from "@web/core/browser/browser";
import { registry } from "@web/core/registry";
import { standardWidgetProps } from "@web/views/widgets/standard_widget_props";

import { Component, onMounted, onWillUnmount } from "@odoo/owl";

const FIRST_MS = 1000;
const LONGEST_MS = 5000;

/** How far a bulk action is; looks again by itself until it has ended. */
export class LiveProgress extends Component {
    static template = "g2p_bridge.LiveProgress";
    static props = { ...standardWidgetProps };

    setup() {
        this.wait = FIRST_MS;
        onMounted(() => this.lookLater());
        onWillUnmount(() => browser.clearTimeout(this.timer));
    }

    get data() {
        return this.props.record.data;
    }

    get isUnderWay() {
        return ["queued", "running"].includes(this.data.state);
    }

    get percent() {
        return Math.round(this.data.progress);
    }

    get color() {
        return { done: "bg-success", failed: "bg-danger", stopped: "bg-secondary" }[this.data.state];
    }

    lookLater() {
        if (this.isUnderWay) {
            this.timer = browser.setTimeout(() => this.look(), this.wait);
            this.wait = Math.min(this.wait * 1.5, LONGEST_MS);
        }
    }

    async look() {
        await this.props.record.load();
        this.lookLater();
    }
}

registry.category("view_widgets").add("g2p_live_progress", {
    component: LiveProgress,
    fieldDependencies: [
        { name: "state", type: "selection" },
        { name: "progress", type: "float" },
        { name: "total_count", type: "integer" },
        { name: "done_count", type: "integer" },
        { name: "skipped_count", type: "integer" },
    ],
});
