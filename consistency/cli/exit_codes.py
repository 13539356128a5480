"""The exit codes of the program, beside 0 (done), and 1 and 3, which checks and policies give."""

# An argument, an input or this machine is at fault.
MISTAKE = 2
# A fault of this program; EX_SOFTWARE of sysexits.h.
FAULT = 70
# 128 and the number of SIGINT, and of SIGPIPE.
INTERRUPTED = 130
READER_GONE = 141
