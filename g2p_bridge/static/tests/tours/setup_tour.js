import { registry } from "@web/core/registry";
import { user } from "@web/core/user";

/** Where the test's bank listens, each time at another port: the user's name ends with it. */
const bankUrl = () => user.name.split(" ").pop();

const step = (key, isDone) =>
    `.o_g2p_checklist [data-step='${key}'][data-done='${isDone ? "yes" : "no"}']`;
const field = (name) => `.o_form_view .o_field_widget[name=${name}] input`;

const backToChecklist = (key) => [
    { trigger: "button[data-menu-xmlid='g2p_bridge.menu_configuration']", run: "click" },
    {
        trigger: ".dropdown-item[data-menu-xmlid='g2p_bridge.menu_setup_checklist']",
        run: "click",
    },
    { content: `The step ${key} is done`, trigger: step(key, true) },
];
const open = (key) => ({ trigger: `${step(key, false)} button`, run: "click" });
const save = () => [
    { trigger: ".o_form_button_save", run: "click" },
    { trigger: ".o_form_saved" },
];

/** From an empty installation to a program: the checklist leads to each form. */
registry.category("web_tour.tours").add("g2p_bridge_setup", {
    url: "/odoo/g2p-setup",
    steps: () => [
        { content: "The next step is the obvious one", trigger: `${step("bank", false)} .btn-primary` },
        open("bank"),
        { trigger: field("name"), run: "edit Tour Savings Bank" },
        { trigger: field("base_url"), run: (helpers) => helpers.edit(bankUrl()) },
        { trigger: field("code"), run: "click" },
        { content: "A code is suggested", trigger: ".o_field_widget[name=code]:has(input:value(TOUR_SAVINGS_BANK))" },
        { trigger: field("connector"), run: "click" },
        { trigger: ".o_select_menu_item:first", run: "click" },
        ...save(),
        ...backToChecklist("bank"),

        open("account"),
        { trigger: field("name"), run: "edit Treasury" },
        { content: "The only bank is taken", trigger: ".o_field_widget[name=bank_id]:has(input:value(Tour Savings Bank))" },
        { trigger: field("account_number"), run: "edit 4001 2345 01" },
        ...save(),
        { trigger: "button[name=action_test_connection]", run: "click" },
        { content: "It says that all is well", trigger: ".modal .o_g2p_test_ok:not(.o_invisible_modifier)" },
        { trigger: ".modal .o_kanban_record:contains(knows the account)" },
        { trigger: ".modal footer button:contains(Close)", run: "click" },
        { trigger: "body:not(:has(.modal))" },
        ...backToChecklist("account"),
        { content: "The test call counts", trigger: step("test_call", true) },

        open("mapper"),
        { trigger: field("name"), run: "edit National register" },
        ...save(),
        ...backToChecklist("mapper"),

        open("program"),
        { trigger: field("name"), run: "edit Child benefit" },
        { trigger: field("mnemonic"), run: "click" },
        { trigger: ".o_field_widget[name=mnemonic]:has(input:value(CHILD_BENEFIT))" },
        ...save(),
        ...backToChecklist("program"),
        { content: "Links are the next step", trigger: `${step("links", false)} .btn-primary` },
    ],
});
