"""What training and generating will need of a machine."""

from fbridge.estimates.estimator import Estimator as Estimator
from fbridge.estimates.plans import Clip as Clip
from fbridge.estimates.plans import Generating as Generating
from fbridge.estimates.plans import Needs as Needs
from fbridge.estimates.plans import Training as Training
from fbridge.estimates.plans import cheaper_ways_to_generate as cheaper_ways_to_generate
from fbridge.estimates.plans import cheaper_ways_to_train as cheaper_ways_to_train
