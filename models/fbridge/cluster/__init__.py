"""Work on a Ray cluster: joining or starting one, pools of actors, and a report on its nodes.

Ray places, queues and moves; what is right is decided elsewhere: every task is a pure function with
a key, so that it may run twice, anywhere and in any order. No task raises through Ray, which
changes the types of exceptions, and none waits for ever.
"""
