"""All SQL, set-based. A function does one transaction's worth for one row or a thousand; none commits or calls out."""
