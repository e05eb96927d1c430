"""Texts to measure a language model on, plain English prose written for lmcli: SAMPLE has some 700 tokens, ARTICLE
1,700."""

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

ARTICLE = """\
For eleven years the people of Halvern Bay have argued about their ferry. The boat, a white steel vessel of forty metres
called the Solveig, carries cars, lorries and schoolchildren across two kilometres of cold water between the town and
the island of Ostra. It leaves every half hour from six in the morning until midnight, and on a calm day the crossing
takes nine minutes. In a storm it does not leave at all. Last winter it lay at the quay on twenty-three days, the most
since records began, and twice a patient had to be brought to the hospital by helicopter. On Tuesday evening, after a
meeting that lasted almost five hours, the town council decided what is to become of it: the Solveig will be replaced,
not by the bridge that many had hoped for, but by two smaller ferries that run on batteries.

The decision was closer than anyone had expected. Eleven members voted for the batteries, nine for the bridge, and one,
the retired harbour master Edvard Lien, stayed away because his brother owns land on both sides of the strait. The
mayor, Karin Aasen, had supported the bridge when she was elected and changed her mind in the autumn. "I have not fallen
out of love with the bridge," she said after the vote. "I have read the bill." According to the latest estimate, the
bridge would have cost 412 million crowns, almost twice as much as the 230 million that the council was told four years
ago. The two ferries, the charging stations and the new quays together are to cost 148 million, of which the state pays
a little more than a third.

Why has the bridge become so expensive? The engineers give two reasons. The first is the sea bed. When the council
ordered a survey in the spring, the drills found soft clay down to a depth of sixty metres on the Ostra side, where the
old charts show rock. The eastern tower would therefore have needed piles as long as the tower itself is high. The
second is steel, whose price has risen by half since the first plans were drawn. Marit Solheim, who led the survey, does
not believe that either will get better with time. "Clay does not turn into rock because a council waits," she wrote in
her report, a sentence that has since been printed on T-shirts in the town.

The batteries are not a new idea either. A shipyard in Tarvik, ninety kilometres to the north, has built six ferries of
the kind for other towns, and the oldest of them has been in service for seven years. Each of the boats for Halvern Bay
will be twenty-eight metres long and carry thirty cars, about half as many as the Solveig, but since there are two of
them, one can leave every fifteen minutes at the busy hours of the day. At each quay a robot arm connects the boat to
the grid while the cars drive off, and in the four minutes before the next departure the batteries take up what the
crossing has cost them. If the power fails, a boat can make six more crossings, and after that a small diesel engine
brings it home.

The doubts come mostly from those who know the strait best. Jonas Brekke has been a captain on the Solveig for nineteen
years and has seen waves of three metres between the piers in January. A shorter boat, he says, is thrown about more,
and a boat that is thrown about cannot be held still under a robot arm. The shipyard answers that its ferries are
heavier than they look, because the batteries lie at the bottom of the hull, and that a vessel of the same size has
missed only nine days in three winters at a place that is just as exposed. Captain Brekke went to see it for himself in
November. He came back less certain, but not convinced. "It is a good boat," he said. "I should like to see it here in a
north-west wind before we sell the old one."

He may get his wish. At the request of the member for Ostra, Ingrid Falk, the council added a condition to the order:
the first of the two ferries is to be delivered in September of next year and to run beside the Solveig for a whole
winter. Only if it misses fewer than ten days will the second one be paid for. Otherwise the shipyard takes the boat
back, keeps a fifth of the price and goes home. It is an unusual contract, and the yard is said to have accepted it
after a weekend of telephone calls. Its director, Thomas Wiik, did not want to comment on the details, but called the
condition "a fair way to end an argument".

On the island itself the mood is divided. About eighteen hundred people live on Ostra, nearly half of whom work in the
town, and for many of them the bridge was a promise. Young families moved there because of it, and the price of a house
near the planned road has doubled since the first drawings were shown. Ole and Hanne Dahl bought theirs three years ago.
"We were told that our daughter would walk to her school across the water," said Hanne Dahl. "Now she will keep looking
at the weather report." The owner of the only shop on the island, Per Nygaard, sees it differently. With a bridge, he
believes, everyone would have bought their milk in the supermarket on the other side, and in five years he would have
had to close. He voted for the bridge in the poll of 2019 and regrets it.

There is also the question of money, which no vote can settle. Today a crossing by car costs 46 crowns, and those who
live on the island pay half. The bridge would have been free after twenty years of tolls. The new ferries need fewer
hands, four on each shift instead of seven, and electricity for one crossing costs about a quarter of what the diesel
does. The council has promised that the fare will not rise for eight years, and that nobody who works on the Solveig
will lose their job: of the thirty-one members of the crew, twelve reach the age of retirement before the second boat
arrives, and the others are to be trained for the new ones or to work in the harbour. The union has asked to have this
in writing and expects an answer before the end of the month.

For nature the decision is a relief. The strait is one of the few places on the coast where eider ducks spend the winter
in large numbers, and the pillars of the bridge would have stood in the middle of the shallow water where they feed. The
bird society had announced that it would go to court. Its chairwoman, Liv Moen, praised the council for its patience and
asked for one thing more: that the ferries slow down near the northern pier from December to March. The engine of the
Solveig can be heard for three kilometres under water, the new boats for less than one. How the birds will take to them
nobody knows, because nobody has counted them near a ferry that makes almost no noise.

The Solveig was built in 1987 and was meant to last for thirty years. Twice she was lengthened, once she ran aground,
and in the flood of 2005 she carried the whole island to safety in a single night. A museum in the capital has asked for
her wheelhouse. Captain Brekke would rather see the ship stay where she is, at the end of the long pier, with a café on
the car deck and the engine in working order. "You never know," he said, and looked at the sky above Ostra, where the
clouds were coming in from the north-west.
"""
