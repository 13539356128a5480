"""Reports: estimates in; folders of pages, tables, figures and JSON out. Statistics come from the rooms below."""
