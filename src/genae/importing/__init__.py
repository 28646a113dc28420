"""Other people's weights as genae's."""
