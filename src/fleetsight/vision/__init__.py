"""One image as plain numbers: pictures, boxes, masks, letterboxes, detector heads. No I/O."""
