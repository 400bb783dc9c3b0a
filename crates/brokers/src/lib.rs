//! Brokers behind [`trading::Broker`], and feeds.
