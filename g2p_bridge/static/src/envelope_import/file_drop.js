import { registry } from "@web/core/registry";
import { BinaryField, binaryField } from "@web/views/fields/binary/binary_field";
import { checkFileSize } from "@web/core/utils/files";
import { getDataURLFromFile } from "@web/core/utils/urls";
import { useState } from "@odoo/owl";

/** A file that is dropped or chosen; its name is shown until the record is saved. */
export class FileDrop extends BinaryField {
    static template = "g2p_bridge.FileDrop";

    setup() {
        super.setup();
        this.drop = useState({ isOver: false });
    }

    get chosenName() {
        return this.props.record.data[this.props.fileNameField] || "";
    }

    async onDrop(event) {
        this.drop.isOver = false;
        const [file] = event.dataTransfer.files;
        if (file && !this.props.readonly && checkFileSize(file.size, this.notification)) {
            const data = await getDataURLFromFile(file);
            await this.update({ data: data.split(",")[1], name: file.name });
        }
    }
}

registry.category("fields").add("g2p_file_drop", { ...binaryField, component: FileDrop });
