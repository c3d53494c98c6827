"""The kit by which every detector is judged, and the traffic it is judged on; third parties use it for their own."""
