"""The faces of a report: its content in, HTML, Markdown, LaTeX and CSV out. Text of data and models is escaped here."""
