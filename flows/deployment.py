"""The flow that prefect.yaml deploys. Prefect looks for a flow; a stage only brings one when asked for it."""

from flows.train_caption import train_caption as stage

train_caption = stage.flow
