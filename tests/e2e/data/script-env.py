#!/usr/bin/env python3
import sys
print(sys.argv[1:])
sys.exit(4)
