"""The only place that knows Faust's inside.

Subclasses of Faust's transport, table and recovery, put in through its own settings and factory methods. They deliver
all fetched records of a partition as one *slab*, leave the table's content to the updater, and start a partition's
records only after the seek that follows recovery.
"""
