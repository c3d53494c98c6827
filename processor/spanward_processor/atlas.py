"""MITRE ATLAS techniques that findings refer to.

Source: mitre-atlas/atlas-data, release 5.6.1 of May 2026 (its YAML says 5.6.0), Apache-2.0, Copyright MITRE.
"""

from typing import Final

from spanward_processor.findings import Technique

DATA_VERSION: Final = "5.6.0"

POISON_TRAINING_DATA: Final = Technique("AML.T0020", "Poison Training Data", "realized", DATA_VERSION)
DENIAL_OF_AI_SERVICE: Final = Technique("AML.T0029", "Denial of AI Service", "demonstrated", DATA_VERSION)
