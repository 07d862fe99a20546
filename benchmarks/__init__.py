"""How fast, and how heavy: measurements of the real operator on the real parts, each beside the floor that physics sets.

A figure alone says as much about the machine as about the operator. So whatever is measured has, in the same run, a floor: the
least that any program would have to do. The ratio of the two is what can be compared between machines; README.md has the method.
"""
