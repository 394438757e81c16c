"""A mammogram with a name in its border band, at a real site: held, cleaned, and stored without the name."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation

from tests.drawn_text import ultrasound
from tests.integration.conftest import send_c_store
from tests.integration.test_spool import stored
from tests.live import LiveSite


def test_a_name_in_a_border_is_held_and_masked(site: LiveSite) -> None:
    image = Image.fromarray(np.zeros((600, 800), np.uint8))
    ImageDraw.Draw(image).text((300, 20), "MUSTERMANN^ERIKA", fill=230, font=ImageFont.load_default(22))
    frame = np.array(image)
    rows, columns = np.nonzero(frame)
    instance = ultrasound(frame, SOPClassUID=DigitalMammographyXRayImageStorageForPresentation, Modality="MG")
    assert send_c_store(site, instance) == "stored"
    dataset = stored(site, instance)
    assert dataset.BurnedInAnnotation == "NO"
    box = dataset.pixel_array[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert np.unique(box).size == 1
