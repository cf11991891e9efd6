"""Every bound on what another device can send or make this one keep, with its reason."""

MAX_FRAME_BYTES = 1 << 20
"""One message and the documents inside it. WebSocket frames are assembled whole, so this is memory per session."""

MAX_DURABLE_BYTES = MAX_FRAME_BYTES - 1024
"""One message of a stream, which travels inside another one."""

MAX_STRUCTURE_BYTES = 64 << 10
"""The part of a frame that is not an opaque document. 4 MiB of empty maps were measured to unpack to 259 MiB."""

MAX_UNAUTHENTICATED_FRAME_BYTES = 4 << 10
"""Pairing and greeting messages. Anyone on the network may send them."""

MAX_CONTAINERS = 4096
"""Arrays and maps in one frame: together with the item limits it bounds what a frame unpacks to."""

MAX_ITEMS = 4096
"""Items of one array: more attempts than one device can hold for another."""

MAX_FIELDS = 64
"""Entries of one map: no message has more fields."""

MAX_TEXT = 4096
"""Characters of one text field; longer texts are documents."""

MAX_NAME = 64
"""Characters of a device's or a job's name: fits a line on every screen, and an mDNS label of 63 bytes is near."""

MAX_DOCUMENT_BYTES = 960 << 10
"""A spec or a result inside a message: the frame without room for the fields around it."""

MAX_DEPTH = 128
"""Lists and objects in each other in a document: readers call themselves for each, and have 1,000 calls for all."""

MAX_HELD = 1000
"""Attempts of one origin that an executor keeps, running, queued and undelivered; more are declined."""

MAX_OUTBOX_BYTES = 256 << 20
"""Messages that wait for one peer. A peer that never comes back must not fill the disk; reached, new offers stop."""

OUTBOX_TTL_S = 7 * 86400.0
"""After a week without delivery the messages to a peer expire, with a notice."""

MAX_WINDOW = 256
"""Durable messages sent and not acknowledged: bounds what a slow receiver must buffer."""

BATCH_BYTES = 64 << 10
"""Durable messages that travel together have no more than this, unless it is one alone: others want to be heard
between them."""

HANDSHAKE_STEP_S = 5.0
"""Each step of a pairing or a greeting. A person is not in the loop: both sides answer at once."""

CODE_TTL_S = 300.0
"""How long a pairing code is good for, by default."""

CODE_TRIES = 3
"""Wrong tries that burn a code: the chance to guess it is then 3 in a million."""

HEARTBEAT_S = 5.0
"""WebSocket ping and lease renewal. A dead peer was seen after 4.5 s, a one-way cut after 9.5 s."""

LEASE_S = 30.0
"""How long an attempt may go on unrenewed: six heartbeats, so that one lost message changes nothing."""

LEASE_MARGIN = 1.05
"""The origin waits this much longer than the executor: clocks drift by up to 2%."""

SESSION_GRACE_S = 5.0
"""How long after a lost session a deterministic job's next attempt starts elsewhere."""

MAX_LOSSES = 5
"""Attempts that a job may lose to the world before it ends as `lost`: it may be what kills its executors."""

MAX_SLOTS = 1024
"""Attempts that a device can run at once, as far as its own settings let it. Whoever claims more gets no more work."""

MAX_KIND_LINES = 256
"""Kinds of jobs on accelerators that a device can tell of: 64 kinds on four accelerators each."""

MAX_GPUS = 64
"""GPUs that a device can tell of; more than one machine holds."""

MAX_PLATFORMS = 8
"""Platforms on which JAX computes; there are three."""

MAX_REASON = 200
"""Characters in which a device says why it takes no jobs: a line on a screen, part of other devices' reasons."""
