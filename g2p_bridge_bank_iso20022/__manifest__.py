{
    "name": "G2P Bridge ISO 20022 Banks",
    "summary": "Pays by pain.001 files and reads the banks' answers: folder, SFTP or HTTPS",
    "version": "19.0.1.4.0",
    "license": "LGPL-3",
    "author": "G2P Bridge contributors",
    "category": "Accounting/Payment",
    "depends": ["g2p_bridge"],
    "external_dependencies": {
        "python": ["anyascii", "asyncssh", "lxml", "python-stdnum", "requests", "sepaxml"]
    },
    "data": [
        "security/g2p_bank_file_rules.xml",
        "security/ir.model.access.csv",
        "data/queue_job.xml",
        "data/ir_cron.xml",
        "views/g2p_bank_file_views.xml",
        "views/g2p_sponsor_bank_views.xml",
        "views/g2p_attention_views.xml",
        "views/menus.xml",
    ],
}
