"""Where every mark of a picture stands. Pure geometry; the templates draw it as inline SVG.

Horizontal positions are percentages of the picture's width and vertical ones are pixels, so a
picture fits a phone and a poster without scaling its letters.
"""
