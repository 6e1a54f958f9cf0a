import { _t } from "@web/core/l10n/translation";
import { registry } from "@web/core/registry";
import { useService } from "@web/core/utils/hooks";
import { formatInteger } from "@web/views/fields/formatters";
import { standardFieldProps } from "@web/views/fields/standard_field_props";
import { Component, onMounted, onWillUnmount, useState } from "@odoo/owl";

const EVERY_MS = 1000;
const FIELDS = ["state", "read_count", "bad_count", "good_count", "stored_count"];

/** How far an import is, asked for each second; when a step ends the form shows the next one. */
export class ImportProgress extends Component {
    static template = "g2p_bridge.ImportProgress";
    static props = { ...standardFieldProps };

    setup() {
        this.orm = useService("orm");
        const { state, read_count, bad_count, good_count, stored_count } = this.props.record.data;
        this.state = useState({ state, read_count, bad_count, good_count, stored_count });
        onMounted(() => this.wait());
        onWillUnmount(() => {
            this.isGone = true;
            clearTimeout(this.timer);
        });
    }

    wait() {
        this.timer = setTimeout(() => this.look(), EVERY_MS);
    }

    async look() {
        const { resId, resModel } = this.props.record;
        if (resId) {
            const [found] = await this.orm.silent.read(resModel, [resId], FIELDS);
            if (this.isGone) {
                return;
            }
            const isOver = found.state !== this.props.record.data.state;
            Object.assign(this.state, found);
            if (isOver) {
                await this.props.record.load();
            }
        }
        if (!this.isGone) {
            this.wait();
        }
    }

    get isStoring() {
        return this.state.state === "importing";
    }

    get percent() {
        const { good_count, stored_count } = this.state;
        return this.isStoring && good_count ? Math.floor((100 * stored_count) / good_count) : 100;
    }

    get words() {
        const { read_count, bad_count, good_count, stored_count } = this.state;
        if (this.isStoring) {
            return _t("%(stored)s of %(all)s payments stored", {
                stored: formatInteger(stored_count),
                all: formatInteger(good_count),
            });
        }
        return _t("%(rows)s rows checked, %(bad)s of them bad", {
            rows: formatInteger(read_count),
            bad: formatInteger(bad_count),
        });
    }
}

registry.category("fields").add("g2p_import_progress", {
    component: ImportProgress,
    supportedTypes: ["integer"],
    fieldDependencies: FIELDS.map((name) => ({
        name,
        type: name === "state" ? "selection" : "integer",
    })),
});
