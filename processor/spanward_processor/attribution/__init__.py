"""Attribution: which channel, region, client group or combination of them explains a shift that was found."""
