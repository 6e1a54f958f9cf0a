import { useDropzone } from "@web/core/dropzone/dropzone_hook";
import { registry } from "@web/core/registry";
import { user } from "@web/core/user";
import { useService } from "@web/core/utils/hooks";
import { KanbanController } from "@web/views/kanban/kanban_controller";
import { kanbanView } from "@web/views/kanban/kanban_view";
import { ListController } from "@web/views/list/list_controller";
import { listView } from "@web/views/list/list_view";

import { onWillStart, useRef } from "@odoo/owl";

import { StatementUploadDialog } from "./statement_upload_dialog";

/** Statements: files of the bank may be dropped on the view, or chosen with its button. */
const withUpload = (Controller) =>
    class extends Controller {
        setup() {
            super.setup();
            this.dialogService = useService("dialog");
            this.statementInput = useRef("statementInput");
            this.canUploadStatements = false;
            onWillStart(async () => {
                this.canUploadStatements = await user.hasGroup("g2p_bridge.group_officer");
            });
            useDropzone(
                this.rootRef,
                (ev) => this.uploadStatements(ev.dataTransfer.files),
                "o_g2p_statement_dropzone",
                () => this.canUploadStatements
            );
        }

        onClickUploadStatements() {
            this.statementInput.el.click();
        }

        onChooseStatements(ev) {
            this.uploadStatements(ev.target.files);
            ev.target.value = ""; // so that the same file may be chosen again
        }

        uploadStatements(files) {
            if (files.length) {
                this.dialogService.add(StatementUploadDialog, {
                    files: [...files],
                    onClosed: () => this.model.load(),
                });
            }
        }
    };

registry.category("views").add("g2p_statement_list", {
    ...listView,
    Controller: withUpload(ListController),
    buttonTemplate: "g2p_bridge.StatementListButtons",
});
registry.category("views").add("g2p_statement_kanban", {
    ...kanbanView,
    Controller: withUpload(KanbanController),
    buttonTemplate: "g2p_bridge.StatementKanbanButtons",
});
