"""UPS-RS: a worklist of jobs over a study, which programs create, claim, do and hear of (PS3.18 chapter 11)."""

from gateway.ups import channel, subscriptions, workitems

ROUTES = [*subscriptions.ROUTES, *workitems.ROUTES, *channel.ROUTES]
