"""What every association of a site's own service class users does."""

from pynetdicom import evt


def _wake(event: evt.Event) -> None:
    """End the wait for an answer, which else lasts until the timeout where the association ended as it was sent."""
    event.assoc.dimse.msg_queue.put((None, None))


WAKE = [(evt.EVT_ABORTED, _wake), (evt.EVT_RELEASED, _wake)]
