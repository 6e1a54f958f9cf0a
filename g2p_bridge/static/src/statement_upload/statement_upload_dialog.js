import { browser } from "@web/core/browser/browser";
import { Dialog } from "@web/core/dialog/dialog";
import { _t } from "@web/core/l10n/translation";
import { useService } from "@web/core/utils/hooks";
import { formatInteger, formatMonetary } from "@web/views/fields/formatters";

import { Component, onMounted, onWillUnmount, useState } from "@odoo/owl";

const FIRST_MS = 1000;
const LONGEST_MS = 5000;
const FIELDS = [
    "display_name",
    "kind",
    "left_out_count",
    "state",
    "hold_reason",
    "is_tied",
    "difference",
    "currency_id",
    "opening_balance",
    "closing_balance",
    "continuity_note",
    "line_count",
    "pending_count",
    "reconciled_count",
    "reversed_count",
    "duplicate_count",
    "problem_count",
];

/** What came of each file that was dropped; looks again while its entries are matched. */
export class StatementUploadDialog extends Component {
    static template = "g2p_bridge.StatementUploadDialog";
    static components = { Dialog };
    static props = { files: Array, close: Function, onClosed: Function };

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.state = useState({
            files: this.props.files.map((file) => ({ name: file.name, status: "waiting" })),
            statements: {},
        });
        this.wait = FIRST_MS;
        this.isClosed = false;
        onMounted(() => this.uploadAll());
        onWillUnmount(() => {
            this.isClosed = true;
            browser.clearTimeout(this.timer);
            this.props.onClosed();
        });
    }

    /** One after the other: of statements of one account the first in the drop comes first. */
    async uploadAll() {
        for (const [index, file] of this.props.files.entries()) {
            if (this.isClosed) {
                return;
            }
            const item = this.state.files[index];
            item.status = "uploading";
            Object.assign(item, await this.upload(file));
            await this.look();
        }
        this.lookLater();
    }

    async upload(file) {
        const body = new FormData();
        body.append("csrf_token", odoo.csrf_token);
        body.append("ufile", file);
        try {
            const response = await browser.fetch("/g2p_bridge/statement_file", {
                method: "POST",
                body,
            });
            if (response.ok) {
                return await response.json();
            }
            return this.refusal(
                response.status === 413
                    ? _t("The file is too large.")
                    : _t("The server could not take the file."),
                response.status === 413
                    ? _t("Have the bank send it in parts.")
                    : _t("Nothing was stored. Drop it again; if it happens again, tell your administrator.")
            );
        } catch {
            return this.refusal(
                _t("The server did not answer."),
                _t("Look at your connection, and drop the file again: it is never booked twice.")
            );
        }
    }

    refusal(error, hint) {
        return { status: "refused", error, hint, statement_ids: [] };
    }

    get ids() {
        return this.state.files.flatMap((file) => file.statement_ids || []);
    }

    get isUnderWay() {
        return (
            this.state.files.some((file) => ["waiting", "uploading"].includes(file.status)) ||
            Object.values(this.state.statements).some((each) => each.state === "received")
        );
    }

    get summary() {
        const done = this.state.files.filter((file) => ["stored", "known"].includes(file.status));
        const refused = this.state.files.filter((file) => file.status === "refused");
        return this.isUnderWay
            ? _t("Files are taken, and their entries matched…")
            : _t("%(done)s files taken, %(refused)s refused.", {
                  done: formatInteger(done.length),
                  refused: formatInteger(refused.length),
              });
    }

    async look() {
        const ids = this.ids;
        if (ids.length) {
            for (const found of await this.orm.read("g2p.account.statement", ids, FIELDS)) {
                this.state.statements[found.id] = found;
            }
        }
    }

    lookLater() {
        if (!this.isClosed && this.isUnderWay) {
            this.timer = browser.setTimeout(async () => {
                await this.look();
                this.lookLater();
            }, this.wait);
            this.wait = Math.min(this.wait * 1.5, LONGEST_MS);
        }
    }

    statementsOf(file) {
        return (file.statement_ids || []).map((id) => this.state.statements[id]).filter(Boolean);
    }

    money(statement, name) {
        return formatMonetary(statement[name], { currencyId: statement.currency_id[0] });
    }

    number(value) {
        return formatInteger(value);
    }

    /** How much of the statement has its outcome, in percent. */
    matchedPercent(statement) {
        const done = statement.line_count - statement.pending_count;
        return statement.line_count ? Math.round((100 * done) / statement.line_count) : 100;
    }

    openStatement(statement) {
        this.props.close();
        this.action.doAction({
            type: "ir.actions.act_window",
            res_model: "g2p.account.statement",
            res_id: statement.id,
            views: [[false, "form"]],
        });
    }

    async openEntries(statement, domain) {
        const action = await this.action.loadAction("g2p_bridge.g2p_account_statement_line_action");
        this.props.close();
        await this.action.doAction({
            ...action,
            domain: [["statement_id", "=", statement.id], ...domain],
            context: { g2p_one_statement: true },
        });
    }
}
