import sys

from bridge_stack.new_bank import main

sys.exit(main(sys.argv[1:]))
