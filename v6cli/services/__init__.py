"""The long-lived processes of a home: which there are, how they are started, stopped and proven gone, and what they log."""
