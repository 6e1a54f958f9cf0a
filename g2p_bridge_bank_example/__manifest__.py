{
    "name": "G2P Bridge Example Bank",
    "summary": "Connector to the example bank, and the example bank itself (a test double)",
    "version": "19.0.1.4.0",
    "license": "LGPL-3",
    "author": "G2P Bridge contributors",
    "category": "Accounting/Payment",
    "depends": ["g2p_bridge"],
    "demo": ["demo/demo.xml"],
}
