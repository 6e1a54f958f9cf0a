import { formatMonetary } from "@web/views/fields/formatters";
import { ListRenderer } from "@web/views/list/list_renderer";
import { listView } from "@web/views/list/list_view";
import { registry } from "@web/core/registry";

/** A list that never adds up amounts of several currencies: its footer has a sum for each. */
export class MoneyListRenderer extends ListRenderer {
    computeAggregates() {
        const aggregates = super.computeAggregates();
        for (const [name, aggregate] of Object.entries(aggregates)) {
            if (aggregate.multiCurrency) {
                aggregates[name] = { ...aggregate, value: this.sumsOf(name), multiCurrency: false };
            }
        }
        return aggregates;
    }

    formatGroupAggregate(group, column) {
        const aggregate = super.formatGroupAggregate(group, column);
        return aggregate.multiCurrency ? { value: "" } : aggregate;
    }

    /** A line for each currency; nothing where a group has several, for its parts are not known. */
    sumsOf(name) {
        const { list } = this.props;
        const field = this.getCurrencyField(this.columns.find((column) => column.name === name));
        const isGrouped = list.isGrouped && !list.selection.length;
        const rows = isGrouped
            ? list.groups.map((group) => group.aggregates)
            : (list.selection.length ? list.selection : list.records).map((row) => row.data);
        const sums = new Map();
        for (const row of rows) {
            if (isGrouped && row[field].length > 1) {
                return "";
            }
            const currencyId = isGrouped ? row[field][0] : row[field]?.id;
            sums.set(currencyId, (sums.get(currencyId) || 0) + row[name]);
        }
        return [...sums]
            .map(([currencyId, sum]) => formatMonetary(sum, { currencyId }))
            .join("\n");
    }
}

registry.category("views").add("g2p_money_list", { ...listView, Renderer: MoneyListRenderer });
