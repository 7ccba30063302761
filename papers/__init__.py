"""Papers for the one who pays: receipts and statements as PDF."""
