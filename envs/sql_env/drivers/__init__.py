"""Programs that hold a connection to a database in a process of their own. They know no task and no answer."""
