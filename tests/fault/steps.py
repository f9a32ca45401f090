"""The named steps at which a process of a test build can be killed (common/core/fail_point.hpp)."""

STEPS = {
    "gateway": (
        "received",          # updates are here, nothing is stored
        "committed",         # stored, not confirmed to Telegram
        "offset_sent",       # confirmed to Telegram
        "dispatched",        # the job is on its way, its lease perhaps not committed
        "leased",            # the lease is committed
        "result_received",   # the whole answer is here, not stored
        "result_committed",  # stored; the worker has not heard so
        "send_begun",        # a call to Telegram about an answer has begun
        "send_answered",     # Telegram has carried it out; nothing of that is stored
        "send_committed",    # the message's id is stored
        "delivered",         # the last edit is made and that is stored
    ),
    "worker": (
        "accepted",     # the gateway was told that the job is here
        "asked",        # the provider is asked
        "first_chunk",  # the first text is on its way to the gateway
        "answered",     # the provider's answer is whole
        "result_sent",  # it is on its way to the gateway
    ),
}
