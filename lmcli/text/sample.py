"""A text to measure a language model on: plain English prose of some 700 tokens, written for lmcli."""

SAMPLE = """\
The harbour office kept its records in a long room above the fish market. Every ship that came in had to send someone
up the wooden stairs with a list of what it carried, who owned it and where it would go next. The clerk, a tall woman
named Ines Marchetti, wrote all of this into a ledger with green covers. She had begun when she was nineteen, and she
was now fifty-two, so the shelf behind her held more than a hundred volumes, each one filled from the first page to
the last.

In the spring of that year the city council decided to build a new office beside the railway. The ledgers were to be
copied, and the copies sent to the archive in the capital. "It should not take longer than a month," said the mayor,
who had never seen the room. Ines did not argue. She asked for two assistants, a good lamp and a table that did not
shake. She was given one assistant, whose name was Tomas, and a promise that the lamp would follow.

They started with the oldest volume. Tomas read the entries aloud and Ines wrote them down, because her hand was
faster and clearer than his. By the end of the first week they had finished four ledgers, and Tomas had noticed
something odd. A small sailing ship, the Calandra, appeared in the books again and again: every October she arrived
from the south with oranges, stayed for three days, and left with nothing on board. No captain sends an empty ship
across the sea in autumn unless there is a reason for it.

"Perhaps they could not find a buyer for the voyage home," Tomas suggested.

"For thirty years?" asked Ines. She took down another volume and turned to October. There it was: oranges, three days,
no cargo. The weather had been bad that year, and most of the other ships had waited in port until the storm was over.
The Calandra had not waited.

How does one find out what an empty ship carries? First, one can compare its weight on arrival and departure. The
harbour had always measured how deep each hull lay in the water, since the fees depended on it: a ship that draws more
water pays more. Ines had written these numbers down too, in a narrow column at the right edge of the page, where
nobody ever looked. If the ship had really been empty, it would have risen by about forty centimetres. According to
the ledger it had risen by twelve. The difference, Tomas calculated, was roughly 25 tonnes.

Water would have been an explanation, because many captains fill their tanks before a long passage, but the harbour
sold its water by the barrel and kept a separate account of it. Stone was another. There was a quarry north of the
city whose pale marble had once been famous, and which had been closed by law after a part of the hill fell on the
road. Officially, no stone had been cut there since. However, the town hall of a certain southern port, which was
finished in the same period, was known for its white columns, and its builders had never said where they came from.

Ines closed the book. She thought about the mayor, about the archive in the capital, and about what a historian would
make of a narrow column of numbers in a hundred years. Then she did what she had done every day of her working life:
she dipped her pen, found the next line, and copied what was written there, including the twelve centimetres. The
truth, she used to say, is not something that a clerk decides. It is something that a clerk must not leave out.
"""
