# The models that Quarry names, in place of all 400, which pyright would read for a minute.
from .auto import *
from .bert import *
from .xlnet import *
