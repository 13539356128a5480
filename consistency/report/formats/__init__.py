"""A report's content in, HTML, Markdown, LaTeX and CSV out. Text of data and models is escaped here."""
