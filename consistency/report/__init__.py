"""Reports: estimates in, folders of pages, tables, figures and JSON out. Nothing here computes a statistic of its own."""
